An undo that was taken on is asked for again; its budget does not run in the meantime.

saga:
  reserve, undo budget 1s
  pay

given:
  pay: status UNIMPLEMENTED
  undo reserve: pending, ask again in 1h
  undo reserve: faulted BUSY

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s pay faulted PERMANENT UNIMPLEMENTED, for good
  +0s undo pay begun, no receipt
  +0s pay undone
  +0s undo reserve begun
  +0s undo reserve pending, asked again in 1h
  +1h undo reserve faulted BUSY, again in 500ms
  +3600.5s reserve undone at attempt 2

ends: COMPENSATED
error: pay at PayService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing
