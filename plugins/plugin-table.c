#include "plugins/file.h"
#include "plugins/memory.h"
#include "server/layer.h"

const struct layer_ops *const layer_backends[] = { &file_ops, &memory_ops, NULL };
