"""A wish to stop: told once to everybody who asked, at once to those who come late."""

from chainrule_server.workers.cancellation import Cancellation


def test_callbacks_run_once() -> None:
    cancel, told = Cancellation(), list[int]()
    cancel.subscribe(lambda: told.append(1))
    cancel.subscribe(lambda: told.append(2))
    cancel.set()
    cancel.set()
    assert cancel.is_set
    assert told == [1, 2]


def test_who_comes_late_is_told_at_once() -> None:
    cancel, told = Cancellation(), list[int]()
    cancel.set()
    forget = cancel.subscribe(lambda: told.append(1))
    forget()
    assert told == [1]


def test_who_took_it_back_is_not_told() -> None:
    cancel, told = Cancellation(), list[int]()
    forget = cancel.subscribe(lambda: told.append(1))
    cancel.subscribe(lambda: told.append(2))
    forget()
    forget()
    cancel.set()
    assert told == [2]


def test_a_callback_may_take_itself_back() -> None:
    cancel, told = Cancellation(), list[int]()

    def callback() -> None:
        forget()
        told.append(1)

    forget = cancel.subscribe(callback)
    cancel.set()
    assert told == [1]
