#include "server/connection/negotiated.h"

#include <stdlib.h>

void negotiated_clear(struct negotiated *negotiated)
{
    free(negotiated->context_export);
    negotiated->context_export = NULL;
}

void negotiated_forget_contexts(struct negotiated *negotiated)
{
    negotiated_clear(negotiated);
    negotiated->contexts = 0;
}

void negotiated_reset(struct negotiated *negotiated)
{
    negotiated_clear(negotiated);
    *negotiated = (struct negotiated){ 0 };
}
