/* Groups, attributes and hierarchies, which the command-line tool does not have. For the tests in this folder.

       nodes_driver walk STORE PATH [consolidated]   a JSON list: {"path", "kind", "attributes"}, or {"path", "fault"}
       nodes_driver group STORE PATH JSON            creates a group with these attributes
       nodes_driver attributes STORE PATH JSON       replaces all attributes
       nodes_driver set STORE PATH NAME JSON         sets one
       nodes_driver unset STORE PATH NAME            takes it out
       nodes_driver consolidate STORE PATH           and unconsolidate
       nodes_driver remove STORE PATH

   PATH may be empty: the store. Exit: 0, or 1 with a line on standard error, 2 for usage. */
#ifndef TEST_LINKED
#define SHARDIO_IMPLEMENTATION
#else
#define _GNU_SOURCE
#endif
#include "../../shardio.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static shardio_node_options options;

static int fail(const shardio_error *error)
{
    char text[512];
    fprintf(stderr, "nodes_driver: %s\n", shardio_error_text(error, text, sizeof text));
    return 1;
}

/* "name": "value" */
static void print_string(const char *name, const char *value)
{
    static char quoted[20000];
    shardio_text text = {quoted, sizeof quoted, 0};
    shardio_text_add_string(&text, value);
    printf("\"%s\": %s", name, quoted);
}

static shardio_status print_node(void *context, const char *path, const shardio_node *node, const shardio_error *fault)
{
    int *count = (int *)context;
    char text[512];
    printf("%s{", (*count)++ > 0 ? ",\n" : "");
    print_string("path", path);
    printf(", ");
    if (fault != NULL) {
        print_string("fault", shardio_error_text(fault, text, sizeof text));
    } else {
        print_string("kind", node->kind == SHARDIO_NODE_ARRAY ? "array" : "group");
        if (node->attributes.text != NULL)
            printf(", \"attributes\": %.*s", (int)node->attributes.size, node->attributes.text);
    }
    printf("}");
    return SHARDIO_OK;
}

static shardio_status walk(const shardio_store *store, const char *path, bool consolidated, shardio_error *error)
{
    int count = 0;
    printf("[");
    shardio_status status = shardio_hierarchy_walk(store, path, consolidated, print_node, &count, &options, error);
    printf("]\n");
    return status;
}

int main(int argc, char **argv)
{
    shardio_error error;
    shardio_status status;
    if (argc < 4) return 2;
    const char *what = argv[1], *path = argv[3];
    options.durability = SHARDIO_DURABLE_NONE;
    shardio_store store = shardio_store_directory(argv[2]);
    if (strcmp(what, "walk") == 0 && argc <= 5) status = walk(&store, path, argc == 5, &error);
    else if (strcmp(what, "group") == 0 && argc == 5) status = shardio_group_create(&store, path, argv[4], &options, &error);
    else if (strcmp(what, "attributes") == 0 && argc == 5)
        status = shardio_node_set_attributes(&store, path, argv[4], &options, &error);
    else if (strcmp(what, "set") == 0 && argc == 6)
        status = shardio_node_set_attribute(&store, path, argv[4], argv[5], &options, &error);
    else if (strcmp(what, "unset") == 0 && argc == 5)
        status = shardio_node_set_attribute(&store, path, argv[4], NULL, &options, &error);
    else if (strcmp(what, "consolidate") == 0 && argc == 4) status = shardio_group_consolidate(&store, path, false, &options, &error);
    else if (strcmp(what, "unconsolidate") == 0 && argc == 4) status = shardio_group_consolidate(&store, path, true, &options, &error);
    else if (strcmp(what, "remove") == 0 && argc == 4) status = shardio_node_remove(&store, path, &options, &error);
    else return 2;
    return status == SHARDIO_OK ? 0 : fail(&error);
}
