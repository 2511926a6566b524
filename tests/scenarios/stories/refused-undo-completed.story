A person has undone by other means what the participant refused to; the rest is undone by itself.

saga:
  reserve
  pay

given:
  pay: status UNIMPLEMENTED after the effect
  undo pay: refused SETTLED

meanwhile:
  at rest -> operator COMPLETE pay

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  pay faulted PERMANENT UNIMPLEMENTED, for good
  undo pay begun, no receipt
  undo pay refused SETTLED
  operator COMPLETE pay
  undo reserve begun
  reserve undone

ends: COMPENSATED, forced
error: pay at PayService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: pay
