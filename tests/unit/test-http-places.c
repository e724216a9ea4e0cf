/* Whoever comes to a socket of HTTP gets a place, and nobody loses his to one owner who comes again
 * and again. */
#include "server/metrics/http-places.h"

#include <unistd.h>

#include "tests/support/check.h"

#define SECOND UINT64_C(1000000000)
#define START (SECOND * 1000)

static struct http_places places;
static int peers[2 * HTTP_PLACES_MOST];

/* A connection; when it is cut its peer sees the end. */
static struct http_place *come(unsigned number, uint64_t owner, uint64_t now_ns)
{
    int both[2];

    EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, both) == 0);
    peers[number] = both[1];
    EXPECT(http_places_have_room(&places));
    return http_places_enter(&places, both[0], owner, now_ns);
}

static bool is_cut(unsigned number)
{
    char byte;

    return read(peers[number], &byte, 1) == 0;
}

/* What the library does with those that were cut. */
static void sweep(void)
{
    for (size_t i = 0; i < HTTP_PLACES_MOST; i++)
        if (places.all[i].fd >= 0 && places.all[i].cut) {
            close(places.all[i].fd);
            http_place_leave(&places.all[i]);
        }
}

static void leave_all(unsigned count)
{
    for (size_t i = 0; i < HTTP_PLACES_MOST; i++)
        if (places.all[i].fd >= 0)
            close(places.all[i].fd);
    for (unsigned i = 0; i < count; i++)
        close(peers[i]);
    http_places_init(&places);
}

/* ---- claims ---- */

static void who_comes_often_loses_his_own_oldest(void)
{
    (void)come(0, 1, START);
    for (unsigned i = 1; i <= HTTP_PLACES_OF_ONE; i++)
        (void)come(i, 2, START + i);
    EXPECT(!is_cut(1));
    (void)come(HTTP_PLACES_OF_ONE + 1, 2, START + SECOND);
    EXPECT(is_cut(1) && !is_cut(0) && !is_cut(2));
    leave_all(HTTP_PLACES_OF_ONE + 2);
}

static void one_that_is_answered_goes_last(void)
{
    come(0, 2, START)->stage = HTTP_IS_ASKED;
    come(1, 2, START + 1)->stage = HTTP_SPEAKS;
    for (unsigned i = 2; i < HTTP_PLACES_OF_ONE + 2; i++)
        (void)come(i, 2, START + i);
    EXPECT(!is_cut(0) && is_cut(1) && is_cut(2) && !is_cut(3));
    leave_all(HTTP_PLACES_OF_ONE + 2);
}

static void when_it_is_full_who_has_the_most_loses_one(void)
{
    unsigned number = 0;

    for (; number < HTTP_PLACES - 2; number++)
        (void)come(number, 1 + number, START + number);
    unsigned of_two = number;
    (void)come(number++, 200, START + 100);
    (void)come(number++, 200, START + 101);
    (void)come(number++, 201, START + 102);
    EXPECT(is_cut(of_two) && !is_cut(of_two + 1) && !is_cut(0));
    (void)come(number++, 202, START + 103); /* each has one: the oldest */
    EXPECT(is_cut(0) && !is_cut(1));
    leave_all(number);
}

static void those_that_were_cut_are_waited_for(void)
{
    for (unsigned i = 0; i < HTTP_PLACES_MOST - HTTP_PLACES_OF_ONE; i++)
        (void)come(i, 1, START + i);
    for (unsigned i = 0; i < HTTP_PLACES_OF_ONE; i++)
        (void)come(HTTP_PLACES_MOST - HTTP_PLACES_OF_ONE + i, 1, START + SECOND + i);
    EXPECT(!http_places_have_room(&places));
    sweep();
    EXPECT(http_places_have_room(&places));
    leave_all(HTTP_PLACES_MOST);
}

static void who_is_silent_goes_soon(void)
{
    (void)come(0, 1, START);
    come(1, 1, START)->stage = HTTP_SPEAKS;
    come(2, 1, START)->was_answered = true;
    http_places_cut_slow(&places, START + HTTP_SILENT_SECONDS * SECOND - 1);
    EXPECT(!is_cut(0));
    http_places_cut_slow(&places, START + HTTP_SILENT_SECONDS * SECOND);
    EXPECT(is_cut(0) && !is_cut(1) && !is_cut(2));
    http_places_cut_slow(&places, START + HTTP_REQUEST_SECONDS * SECOND);
    EXPECT(is_cut(1) && is_cut(2));
    leave_all(3);
}

int main(void)
{
    http_places_init(&places);
    who_comes_often_loses_his_own_oldest();
    one_that_is_answered_goes_last();
    when_it_is_full_who_has_the_most_loses_one();
    those_that_were_cut_are_waited_for();
    who_is_silent_goes_soon();
    return EXIT_SUCCESS;
}
