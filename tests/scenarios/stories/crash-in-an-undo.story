The coordinator dies when an effect is undone and nobody has heard of it: the next one asks again, and it is
undone once.

saga:
  reserve
  pay

given:
  pay: status UNIMPLEMENTED after the effect
  undo pay: succeeded, and the coordinator dies

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  pay faulted PERMANENT UNIMPLEMENTED, for good
  undo pay begun, no receipt
  saga resumed
  pay undone
  undo reserve begun
  reserve undone

ends: COMPENSATED
error: pay at PayService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing
sent: do reserve, do pay, undo pay, undo pay, undo reserve
