A pivot that is said to be compensated already is flagged and asked for again: only its refusal turns the
saga back.

saga:
  reserve
  pay, pivot, budget 100ms

given:
  pay: barred, every time

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun as the pivot
  +0s pay faulted BARRED, again in 100ms
  +100ms pay faulted BARRED at attempt 2, for good

ends: DEAD_LETTERED, pay BUDGET_SPENT
error: pay at PayService is the pivot, and is in doubt: nobody knows whether it has happened. It needs a person.
flags: pay: BARRED
stands: reserve
