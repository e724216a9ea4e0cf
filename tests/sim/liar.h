/* Somebody between the front and the store who lies: what the store says goes through him, and now
 * and then he changes it, leaves it out, says it twice, or falls silent.  He tells only lies that
 * can be found out, by the rules of the protocol or by what was said before: all that the oracle
 * checks stays as it is. */
#ifndef NBDCRYPT_SIM_LIAR_H
#define NBDCRYPT_SIM_LIAR_H

struct endpoint;

/* A connection to the store, by way of the liar; NULL: refused.  On a fiber. */
struct endpoint *liar_connect(unsigned client);
/* From now on he is honest. */
void liar_ends(void);

#endif
