/* CPython's copy of mimalloc in the place of musl's malloc, for a preloaded process (musl_build.mk).
 *
 * CPython calls these five for its builds without a GIL, and defines them beside its interpreter
 * (Objects/obmalloc.c); here pages have no readers that need a while to be gone. */
#include "mimalloc.h"
#include "mimalloc/internal.h"

static bool _PyMem_mi_page_is_safe_to_free(mi_page_t *page) { return mi_page_all_free(page); }

static bool _PyMem_mi_page_maybe_free(mi_page_t *page, mi_page_queue_t *queue, bool force)
{
    _mi_page_free(page, queue, force);
    return true;
}

static void _PyMem_mi_page_clear_qsbr(mi_page_t *page) { (void)page; }

static void _PyMem_mi_page_reclaimed(mi_page_t *page) { (void)page; }

static void _PyMem_mi_heap_collect_qsbr(mi_heap_t *heap) { (void)heap; }

#include "static.c"
