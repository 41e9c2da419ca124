// The body of an isa_*.c file: everything compiled for one instruction set, and its table.
#include "simd.h"
#include "rows.h"
#include "product.h"
#include "attention.h"
#include "cell.h"
#include "conv.h"
#include "window.h"

const ensue_isa ISA(ensue_table) = {
    ISA_NAME,         ISA(norm),   ISA(norm_grad),   ISA(norm_weight_grad), ISA(gelu),  ISA(gelu_grad), ISA(column_sum),
    ISA(add),         ISA(axpy),   ISA(lerp),        ISA(sum_squares),      ISA(adamw), ISA(narrow),    ISA(widen),
    ISA(rope),        ISA(attention_pack), ISA(attention_tile), ISA(attention_grad),
    ISA(unfold),      ISA(fold),
    PR,               PV * W,      CACHED,           ISA(product),          ISA(pack),  ISA(pack_rows),
    {ISA(cell_gates), ISA(cell_reset), ISA(cell_blend), ISA(cell_gates_grad), ISA(cell_reset_grad), ISA(cell_blend_grad)},
    ISA(row_l1),      ISA(row_l1_grad),
    ISA(conv),        ISA(conv_turn), ISA(conv_grad),
};
