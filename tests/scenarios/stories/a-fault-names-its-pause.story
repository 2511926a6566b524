A participant that names a pause is not asked before that, in either direction, but the policy's longest
pause is the limit.

saga:
  reserve
  pay

given:
  reserve: faulted BUSY, ask again in 2s
  pay: faulted BUSY, ask again in 1h
  pay: status UNIMPLEMENTED
  undo reserve: faulted BUSY, ask again in 30s

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve faulted BUSY, again in 2s
  +2s reserve succeeded at attempt 2
  +2s pay begun
  +2s pay faulted BUSY, again in 5s
  +7s pay faulted PERMANENT UNIMPLEMENTED at attempt 2, for good
  +7s undo pay begun, no receipt
  +7s pay undone
  +7s undo reserve begun
  +7s undo reserve faulted BUSY, again in 30s
  +37s reserve undone at attempt 2

ends: COMPENSATED
error: pay at PayService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing
