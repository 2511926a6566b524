A person leaves an effect in place whose undo was refused; what the undo held up is undone.

saga:
  reserve
  pay

given:
  pay: status UNIMPLEMENTED after the effect
  undo pay: refused SETTLED

meanwhile:
  at rest -> operator SKIP pay

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  pay faulted PERMANENT UNIMPLEMENTED, for good
  undo pay begun, no receipt
  undo pay refused SETTLED
  operator SKIP pay
  undo reserve begun
  reserve undone

ends: COMPENSATED, forced
error: pay at PayService was given up: UNIMPLEMENTED: a status. What else was begun has been undone. Left in place by hand: pay.
stands: pay
