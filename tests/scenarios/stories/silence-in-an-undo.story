An undo that does not answer within the step's timeout is asked for again: the effect is taken back once.

saga:
  reserve, timeout 2s
  pay

given:
  pay: status UNIMPLEMENTED
  undo reserve: silent after the effect

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s pay faulted PERMANENT UNIMPLEMENTED, for good
  +0s undo pay begun, no receipt
  +0s pay undone
  +0s undo reserve begun
  +2s undo reserve faulted UNKNOWN DEADLINE_EXCEEDED, again in 500ms
  +2.5s reserve undone at attempt 2

ends: COMPENSATED
error: pay at PayService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing
sent: do reserve, do pay, undo pay, undo reserve, undo reserve
