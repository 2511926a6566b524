An undo that is refused at its second attempt is refused for good, as at the first.

saga:
  reserve
  pay

given:
  pay: status UNIMPLEMENTED after the effect
  undo pay: faulted BUSY
  undo pay: refused SETTLED

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s pay faulted PERMANENT UNIMPLEMENTED, for good
  +0s undo pay begun, no receipt
  +0s undo pay faulted BUSY, again in 500ms
  +500ms undo pay refused SETTLED at attempt 2

ends: DEAD_LETTERED, pay REFUSED
error: pay at PayService was given up: UNIMPLEMENTED: a status. Its undo needs a person: undo_pay at PayService failed for good; behind it wait: reserve.
stands: reserve, pay
