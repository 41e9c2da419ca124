//go:build cgo && linux && !purego

// Four floats at a time: what every 64-bit processor has.
#include "isa.h"

#define W 4
#define MR 6
#define NV 2
#define PR 6
#define PV 2
#define CACHED (1 << 17)
#define ISA_NAME "portable"
#define ISA(name) name##_portable
#define VMAX(a, b) ((vf)(((vi)(a) & ((a) > (b))) | ((vi)(b) & ~((a) > (b)))))
#define VMIN(a, b) ((vf)(((vi)(a) & ((a) < (b))) | ((vi)(b) & ~((a) < (b)))))
#define VSQRT(a) ((vf){__builtin_sqrtf((a)[0]), __builtin_sqrtf((a)[1]), __builtin_sqrtf((a)[2]), __builtin_sqrtf((a)[3])})
#define LANES(f, bit) {f(bit, 0), f(bit, 1), f(bit, 2), f(bit, 3)}
#define SUM_LANES(v) (((v)[0] + (v)[2]) + ((v)[1] + (v)[3]))
#define LARGER(a, b) ((a) > (b) ? (a) : (b))
#define MAX_LANES(v) LARGER(LARGER((v)[0], (v)[2]), LARGER((v)[1], (v)[3]))
#include "isa_body.h"
