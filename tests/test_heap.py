"""What the garbage collector of a dashboard passes over."""

import gc
import weakref

from dashboard import heap


class Ring:
    def __init__(self):
        self.itself = self


def test_a_page_is_set_aside_once_and_later_garbage_is_still_collected():
    before = Ring()
    try:
        heap.set_aside("a page of this test")
        count = gc.get_freeze_count()
        assert count > 0 and all(before is not one for one in gc.get_objects())
        heap.set_aside("a page of this test")
        assert gc.get_freeze_count() <= count  # fewer where something that was set aside has ended since
        later = weakref.ref(Ring())
        gc.collect()
        assert later() is None
    finally:
        gc.unfreeze()
        heap.set_aside.cache_clear()
