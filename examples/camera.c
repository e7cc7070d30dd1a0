/* Frames from a camera into an array, of which nobody knows beforehand how many come. Every 100 frames a checkpoint
   makes what came so far readable for others, and safe from a crash. If the disk fills up, what was there at the last
   checkpoint stays.

       camera [OUTPUT.zarr [FRAMES]]       writes camera.zarr, which must not exist, with 250 frames */

#define SHARDIO_IMPLEMENTATION
#include "shardio.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { HEIGHT = 480, WIDTH = 640, FRAMES_A_CHECKPOINT = 100 };

/* Stands for the camera's driver: a bright square that wanders over a gradient. False when recording ends. */
static bool next_frame(uint16_t *frame, int number, int frames)
{
    if (number >= frames) return false;
    const int left = number * 3 % (WIDTH - 64), top = number * 2 % (HEIGHT - 64);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            bool inside = x >= left && x < left + 64 && y >= top && y < top + 64;
            frame[y * WIDTH + x] = (uint16_t)(inside ? 60000 : x + y);
        }
    return true;
}

static shardio_array *begin_recording(const char *path)
{
    static const char *const names[] = {"t", "y", "x"};
    shardio_array_options o = {0};                 /* all-zero: the documented defaults */
    o.dtype = SHARDIO_UINT16;
    o.ndim = 3;
    o.shape[0] = SHARDIO_UNLIMITED;  o.shape[1] = HEIGHT;  o.shape[2] = WIDTH;
    o.chunk[0] = 10;                 o.chunk[1] = 240;     o.chunk[2] = 320;
    o.shard[0] = 100;                o.shard[1] = 480;     o.shard[2] = 640;
    o.dimension_names = names;
    o.attributes = "{\"camera\": \"simulated\", \"exposure_ms\": 20}";

    shardio_memory_plan plan;                      /* all the memory that it will ever take */
    if (shardio_array_memory(&o, 256, &plan, NULL) == SHARDIO_OK)
        printf("recording takes %" PRIu64 " KiB of memory\n", plan.total / 1024);
    return shardio_array_create(path, &o);         /* never null: errors stick to the handle */
}

int main(int count, char **arguments)
{
    static uint16_t frame[HEIGHT * WIDTH];
    const char *path = count > 1 ? arguments[1] : "camera.zarr";
    const int frames = count > 2 ? atoi(arguments[2]) : 250;
    shardio_array *movie = begin_recording(path);

    for (int i = 0; next_frame(frame, i, frames); i++) {
        if (shardio_array_append(movie, frame, HEIGHT * WIDTH) != SHARDIO_OK) break;   /* no use in going on */
        if ((i + 1) % FRAMES_A_CHECKPOINT == 0 && shardio_array_checkpoint(movie) == SHARDIO_OK)
            printf("%d frames can be read\n", i + 1);
    }

    shardio_error error;
    if (shardio_array_finish(movie, &error) != SHARDIO_OK) {       /* ends the handle, and repeats the first error */
        char text[256];
        fprintf(stderr, "camera: %s\n", shardio_error_text(&error, text, sizeof text));
        return 1;
    }
    printf("%s is complete\n", path);
    return 0;
}
