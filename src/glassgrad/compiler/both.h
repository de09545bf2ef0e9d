/* The kernels of one instruction set, for double and for float. Included once for each set, by native.h. */

#define REAL double
#define DOUBLE 1
#include "kernels.h"
#undef REAL
#undef DOUBLE
#define REAL float
#define DOUBLE 0
#include "kernels.h"
#undef REAL
#undef DOUBLE
#undef SET
#undef BYTES
#undef TILE_VECTORS
