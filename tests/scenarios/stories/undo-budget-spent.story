An undo whose budget is spent needs a person, even if the effect is gone by then and nobody has heard of it.

saga:
  reserve
  pay, undo budget 2s

given:
  pay: status UNIMPLEMENTED after the effect
  undo pay: faulted BUSY, 3 times
  undo pay: status UNAVAILABLE after the effect

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s pay faulted PERMANENT UNIMPLEMENTED, for good
  +0s undo pay begun, no receipt
  +0s undo pay faulted BUSY, again in 500ms
  +500ms undo pay faulted BUSY at attempt 2, again in 1s
  +1.5s undo pay faulted BUSY at attempt 3, again in 500ms
  +2s undo pay faulted UNKNOWN UNAVAILABLE at attempt 4, for good

ends: DEAD_LETTERED, pay BUDGET_SPENT
error: pay at PayService was given up: UNIMPLEMENTED: a status. Its undo needs a person: undo_pay at PayService failed for good; behind it wait: reserve.
stands: reserve
sent: do reserve, do pay, undo pay, undo pay, undo pay, undo pay
