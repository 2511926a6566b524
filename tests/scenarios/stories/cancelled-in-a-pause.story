A saga that is cancelled while it waits to ask again does not wait any longer.

saga:
  reserve
  pay

given:
  pay: faulted BUSY, ask again in 5s

meanwhile:
  pay faulted BUSY, again in 5s -> cancel

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s pay faulted BUSY, again in 5s
  +0s cancel requested
  +0s undo pay begun, no receipt
  +0s pay undone
  +0s undo reserve begun
  +0s reserve undone

ends: COMPENSATED
error: Cancelled. What was begun has been undone.
stands: nothing
