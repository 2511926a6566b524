A person gives up a step that waits, and the saga turns back: what was begun is undone, that step included.

saga:
  reserve
  pay

given:
  pay: faulted BUSY, ask again in 5s

meanwhile:
  pay faulted BUSY, again in 5s -> operator FAIL pay

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s pay faulted BUSY, again in 5s
  +0s operator FAIL pay
  +0s undo pay begun, no receipt
  +0s pay undone
  +0s undo reserve begun
  +0s reserve undone

ends: COMPENSATED
error: pay at PayService was given up: FAILED_BY_HAND: she knows. What was begun has been undone.
stands: nothing
