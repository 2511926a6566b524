The undo of an Execute that has not arrived does nothing and bars it: when it comes at last, it has no effect.

saga:
  reserve
  pay, attempts 1, timeout 1s

given:
  pay: succeeded, takes 1m

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +1s pay faulted UNKNOWN DEADLINE_EXCEEDED, for good
  +1s undo pay begun, no receipt
  +1s pay undone
  +1s undo reserve begun
  +1s reserve undone

ends: COMPENSATED
error: pay at PayService was given up: DEADLINE_EXCEEDED: no answer in time. What was begun has been undone.
stands: nothing
sent: do reserve, do pay, undo pay, undo reserve
