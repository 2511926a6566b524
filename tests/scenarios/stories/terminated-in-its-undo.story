A saga whose undo failed for good is stopped: what was not undone by then stays.

saga:
  reserve
  pay

given:
  pay: status UNIMPLEMENTED after the effect
  undo pay: refused SETTLED

meanwhile:
  at rest -> operator TERMINATE

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  pay faulted PERMANENT UNIMPLEMENTED, for good
  undo pay begun, no receipt
  undo pay refused SETTLED
  operator TERMINATE

ends: TERMINATED, forced
error: pay at PayService was given up: UNIMPLEMENTED: a status. Terminated by ada (she knows). What was begun and is not undone stands as it is.
stands: reserve, pay
