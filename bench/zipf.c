#include "bench/zipf.h"

#include <math.h>

#define NEARLY_ZERO 1e-8 /* below this, the first terms of a series are more exact */

static double density(const struct zipf *zipf, double x)
{
    return exp(-zipf->theta * log(x));
}

/* The integral of the density from 1 to x: (x^(1-theta) - 1) / (1 - theta), or log x. */
static double area(const struct zipf *zipf, double x)
{
    double log_x = log(x), power = (1 - zipf->theta) * log_x;

    if (fabs(power) < NEARLY_ZERO)
        return log_x * (1 + power / 2);
    return expm1(power) / (1 - zipf->theta);
}

/* The x below which the integral is `y`. */
static double area_inverse(const struct zipf *zipf, double y)
{
    double scaled = y * (1 - zipf->theta);

    if (fabs(scaled) < NEARLY_ZERO)
        return exp(y * (1 - scaled / 2));
    if (scaled <= -1) /* beyond what the integral can reach, by rounding */
        return (double)zipf->count;
    return exp(log1p(scaled) / (1 - zipf->theta));
}

void zipf_init(struct zipf *zipf, uint64_t count, double theta)
{
    *zipf = (struct zipf){ .theta = theta, .count = count };
    zipf->area_first = area(zipf, 1.5) - 1;
    zipf->area_end = area(zipf, (double)count + 0.5);
    zipf->squeeze = 2 - area_inverse(zipf, area(zipf, 2.5) - density(zipf, 2));
}

/* A point under the hat, uniformly; its rank is taken when the point is below the rank's bar
 * too. */
uint64_t zipf_next(const struct zipf *zipf, struct random *random)
{
    for (;;) {
        double y = zipf->area_end + random_unit(random) * (zipf->area_first - zipf->area_end);
        double x = area_inverse(zipf, y);
        double rank = floor(x + 0.5);

        if (rank < 1)
            rank = 1;
        if (rank > (double)zipf->count)
            rank = (double)zipf->count;
        if (rank - x <= zipf->squeeze || y >= area(zipf, rank + 0.5) - density(zipf, rank))
            return (uint64_t)rank - 1;
    }
}
