/* Watching a mirror fill: a bar with a place for each piece of a large object, which shows what of it is local.

       mirror SOURCE LOCAL       SOURCE is a file, or http://... or https://... if compiled with -DSHARDIO_HTTP -lcurl

   First small ranges all over the object are read, as by somebody who looks around in it, then the rest is fetched.
   Stop it with control-C: what came is kept, and the next run goes on from there. So it does after a kill, with less.

       [#--:------#-------#:-----]    22.4 of 512.0 MiB local        # all of the piece, : some, - none */
#define SHARDIO_IMPLEMENTATION
#include "shardio.h"
#if SHARDIO_HTTP
#include "http_source.h"
#endif

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#ifndef _WIN32
#include <sys/ioctl.h>
#include <unistd.h>
#endif

enum { LOOKS = 64, LOOK = 4096, NUMBERS = 36, MOST_PIECES = 500, MIB = 1 << 20 };

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    stopped = 1;
    signal(number, SIG_DFL);       /* a second one ends the program at once */
}

/* Columns of the terminal on standard output; 0: it is none. */
static int terminal_width(void)
{
#ifdef TIOCGWINSZ
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) return size.ws_col > 0 ? size.ws_col : 80;
#endif
    return 0;
}

static char piece(shardio_mirror *mirror, uint64_t begin, uint64_t end)
{
    uint64_t offset, size;
    if (shardio_mirror_has(mirror, begin, end - begin)) return '#';
    return shardio_mirror_next_extent(mirror, begin, &offset, &size) && offset < end ? ':' : '-';
}

/* In a terminal the line is drawn over the one before; elsewhere there is a line for each tenth. */
static int draw(void *context, uint64_t done, uint64_t total)
{
    static uint64_t tenths = UINT64_MAX;
    shardio_mirror *mirror = (shardio_mirror *)context;
    char bar[MOST_PIECES + 1];
    const int columns = terminal_width(), room = columns > 0 ? columns - NUMBERS : 60;
    const uint64_t pieces = room < 1 ? 1 : room > MOST_PIECES ? MOST_PIECES : (uint64_t)room, step = total / pieces + 1;
    if (columns == 0 && tenths == done / (total / 10 + 1)) return stopped;
    tenths = done / (total / 10 + 1);
    for (uint64_t i = 0; i < pieces; i++) bar[i] = piece(mirror, step * i, step * (i + 1));
    bar[pieces] = 0;
    printf(columns > 0 ? "\r[%s] %9.1f of %.1f MiB local" : "[%s] %9.1f of %.1f MiB local\n", bar, (double)done / MIB,
           (double)total / MIB);
    fflush(stdout);
    return stopped;
}

static void look_around(shardio_mirror *mirror, shardio_error *error)
{
    static uint8_t data[LOOK];
    const uint64_t length = shardio_mirror_about(mirror).length;
    for (uint64_t i = 0; i < LOOKS && !stopped && error->status == SHARDIO_OK; i++) {
        const uint64_t place = (i * 37 + 11) % LOOKS;       /* each once, in no order */
        size_t done;
        shardio_mirror_read(mirror, length / LOOKS * place, data, LOOK, &done, error);
        draw(mirror, shardio_mirror_about(mirror).covered, length);
    }
}

static shardio_status open_source(shardio_source *source, const char *name, shardio_error *error)
{
#if SHARDIO_HTTP
    if (strstr(name, "://") != NULL) return shardio_http_open(source, name, NULL, error);
#endif
    return shardio_source_open(source, name, NULL, error);
}

int main(int count, char **arguments)
{
    shardio_mirror_options options = {0};
    shardio_source source;
    shardio_error error, at_close;
    char text[512];
    if (count != 3) return fprintf(stderr, "usage: mirror SOURCE LOCAL\n") < 0 ? 1 : 2;
    signal(SIGINT, stop);
    options.request = MIB;                                  /* small, so that the bar moves and control-C works soon */
    if (open_source(&source, arguments[1], &error) == SHARDIO_OK) {
        shardio_mirror *mirror = shardio_mirror_open(&source, arguments[2], &options, &error);
        if (error.status == SHARDIO_OK) look_around(mirror, &error);
        if (error.status == SHARDIO_OK) shardio_mirror_fill(mirror, draw, mirror, &error);
        const shardio_mirror_facts facts = shardio_mirror_about(mirror);
        if (mirror != NULL)
            printf("%s%.1f MiB in %" PRIu64 " requests, %s\n", terminal_width() > 0 ? "\n" : "",
                   (double)facts.fetched / MIB, facts.requests,
                   facts.covered == facts.length ? "all of it is local" : "the next run goes on");
        if (shardio_mirror_close(mirror, &at_close) != SHARDIO_OK && error.status == SHARDIO_OK) error = at_close;
    }
    if (error.status == SHARDIO_OK) return 0;
    if (error.status == SHARDIO_ERR_CANCELLED) return 130;
    fprintf(stderr, "mirror: %s\n", shardio_error_text(&error, text, sizeof text));
    return 1;
}
