A pivot whose budget is spent is in doubt: nothing is undone, and nothing done, until a person has found out.

saga:
  reserve
  pay, pivot, budget 1s
  ship, retriable

given:
  pay: status UNAVAILABLE after the effect, every time

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun as the pivot
  +0s pay faulted UNKNOWN UNAVAILABLE, again in 100ms
  +100ms pay faulted UNKNOWN UNAVAILABLE at attempt 2, again in 200ms
  +300ms pay faulted UNKNOWN UNAVAILABLE at attempt 3, again in 400ms
# The last attempt comes when the budget ends, though the pause before it should be longer.
  +700ms pay faulted UNKNOWN UNAVAILABLE at attempt 4, again in 300ms
  +1s pay faulted UNKNOWN UNAVAILABLE at attempt 5, for good

ends: DEAD_LETTERED, pay BUDGET_SPENT
error: pay at PayService is the pivot, and is in doubt: nobody knows whether it has happened. It needs a person.
stands: reserve, pay
sent: do reserve, do pay, do pay, do pay, do pay, do pay
