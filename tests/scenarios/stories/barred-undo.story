Only an Execute can be barred: a participant that says so of an undo is asked again, and flagged.

saga:
  reserve
  pay

given:
  pay: status UNIMPLEMENTED
  undo reserve: barred

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  pay faulted PERMANENT UNIMPLEMENTED, for good
  undo pay begun, no receipt
  pay undone
  undo reserve begun
  undo reserve faulted BARRED, again in 500ms
  reserve undone at attempt 2

ends: COMPENSATED
error: pay at PayService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
flags: reserve: BARRED
stands: nothing
