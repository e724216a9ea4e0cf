#include "server/connection/negotiated.h"

#include <stdlib.h>

void negotiated_reset(struct negotiated *negotiated)
{
    free(negotiated->context_export);
    *negotiated = (struct negotiated){ 0 };
}

void negotiated_forget_contexts(struct negotiated *negotiated)
{
    free(negotiated->context_export);
    negotiated->context_export = NULL;
    negotiated->base_allocation = false;
}
