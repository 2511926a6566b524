The deadline comes in the middle of a pause, and before a step that nobody has begun: that one is never begun.

saga: ttl 3s
  reserve
  pay
  ship

given:
  pay: faulted BUSY, ask again in 5s

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s pay faulted BUSY, again in 5s
  +3s deadline passed
  +3s undo pay begun, no receipt
  +3s pay undone
  +3s undo reserve begun
  +3s reserve undone

ends: COMPENSATED
error: The time allowed for it ran out. What was begun has been undone.
stands: nothing
sent: do reserve, do pay, undo pay, undo reserve
