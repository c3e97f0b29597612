/* The windows of one instrument in a bare loop: the arithmetic of liqtape's engine and nothing else.
 *
 * As there: a lane for longs and one for shorts, times and prefix sums of micro-USD in order; cursors that only walk
 * forwards; after each event the counts and sums of four windows over both lanes, and the least-squares acceleration
 * over 20 s from a count and a sum of times. The lanes are as long as the stream: nothing is trimmed, nothing comes
 * late, no number outgrows 64 bits.
 */
#include <stdint.h>
#include <stdlib.h>

enum { WINDOWS = 4, TAILS = 5, HORIZON = 4 };
static const int64_t OFFSETS_MS[TAILS] = {10000, 30000, 60000, 300000, 20000};

typedef struct {
    int64_t *times, *sums; /* sums[i]: of the first i */
    int64_t size, moment;
    int64_t tails[TAILS];
} Lane;

typedef struct {
    int64_t counts[WINDOWS], micro[WINDOWS];
    double acceleration;
} Totals;

/* Lanes for `capacity` events; NULL without memory. */
Lane *floor_new(int64_t capacity) {
    Lane *lanes = calloc(2, sizeof(Lane));
    for (int side = 0; lanes && side < 2; side++) {
        lanes[side].times = malloc(capacity * sizeof(int64_t));
        lanes[side].sums = calloc(capacity + 1, sizeof(int64_t));
        if (!lanes[side].times || !lanes[side].sums) return NULL;
    }
    return lanes;
}

void floor_free(Lane *lanes) {
    for (int side = 0; side < 2; side++) {
        free(lanes[side].times);
        free(lanes[side].sums);
    }
    free(lanes);
}

static void add(Lane *lane, int64_t at_ms, int64_t micro) {
    lane->times[lane->size] = at_ms;
    lane->sums[lane->size + 1] = lane->sums[lane->size] + micro;
    lane->size++;
    lane->moment += at_ms;
}

static void advance(Lane *lane, int64_t now_ms) {
    for (int k = 0; k < TAILS; k++) {
        int64_t tail = lane->tails[k], limit = now_ms - OFFSETS_MS[k];
        while (tail < lane->size && lane->times[tail] <= limit) {
            if (k == HORIZON) lane->moment -= lane->times[tail];
            tail++;
        }
        lane->tails[k] = tail;
    }
}

static void evaluate(const Lane *lanes, int64_t now_ms, Totals *totals) {
    for (int k = 0; k < WINDOWS; k++) {
        totals->counts[k] = totals->micro[k] = 0;
        for (int side = 0; side < 2; side++) {
            const Lane *lane = &lanes[side];
            totals->counts[k] += lane->size - lane->tails[k];
            totals->micro[k] += lane->sums[lane->size] - lane->sums[lane->tails[k]];
        }
    }
    int64_t count = 0, moment = 0;
    for (int side = 0; side < 2; side++) {
        count += lanes[side].size - lanes[side].tails[HORIZON];
        moment += lanes[side].moment;
    }
    totals->acceleration = (double)(12 * (moment - count * now_ms + count * 10000)) / 8e6;
}

/* Each event added and all windows evaluated at its time; the last evaluation stays in `totals`. */
void floor_run(Lane *lanes, int64_t count, const int64_t *times, const int64_t *micro, const int8_t *sides,
               Totals *totals) {
    for (int64_t i = 0; i < count; i++) {
        add(&lanes[sides[i]], times[i], micro[i]);
        for (int side = 0; side < 2; side++) advance(&lanes[side], times[i]);
        evaluate(lanes, times[i], totals);
    }
}
