The time in which nobody is there counts towards an undo's budget, too: one attempt is made all the same.

saga:
  reserve, undo budget 10s
  pay

given:
  pay: status UNIMPLEMENTED
  undo reserve: faulted BUSY

meanwhile:
  undo reserve faulted BUSY, again in 500ms -> the coordinator dies for 1m

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s pay faulted PERMANENT UNIMPLEMENTED, for good
  +0s undo pay begun, no receipt
  +0s pay undone
  +0s undo reserve begun
  +0s undo reserve faulted BUSY, again in 500ms
  +1m saga resumed
  +1m reserve undone at attempt 2

ends: COMPENSATED
error: pay at PayService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing
