A refusal to undo that nobody heard is repeated to the next coordinator, and is final.

saga:
  reserve
  pay

given:
  pay: status UNIMPLEMENTED after the effect
  undo pay: refused SETTLED, and the coordinator dies
  undo pay: refused SETTLED

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  pay faulted PERMANENT UNIMPLEMENTED, for good
  undo pay begun, no receipt
  saga resumed
  undo pay refused SETTLED

ends: DEAD_LETTERED, pay REFUSED
error: pay at PayService was given up: UNIMPLEMENTED: a status. Its undo needs a person: undo_pay at PayService failed for good; behind it wait: reserve.
stands: reserve, pay
sent: do reserve, do pay, undo pay, undo pay
