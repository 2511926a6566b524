An undo that was refused is asked for again by a person, under another key, and what it held up goes on
behind it.

saga:
  reserve
  pay

given:
  pay: status UNIMPLEMENTED after the effect
  undo pay: refused SETTLED

meanwhile:
  at rest -> operator RETRY pay

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  pay faulted PERMANENT UNIMPLEMENTED, for good
  undo pay begun, no receipt
  undo pay refused SETTLED
  operator RETRY pay
  pay undone at attempt 2
  undo reserve begun
  reserve undone

ends: COMPENSATED
error: pay at PayService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing
sent: do reserve, do pay, undo pay, undo pay, undo reserve
