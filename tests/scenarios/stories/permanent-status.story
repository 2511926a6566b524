A status that will not pass turns the saga back at once; the effect may be there, so the step is undone.

saga:
  reserve
  pay

given:
  pay: status PERMISSION_DENIED after the effect

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s pay faulted PERMANENT PERMISSION_DENIED, for good
  +0s undo pay begun, no receipt
  +0s pay undone
  +0s undo reserve begun
  +0s reserve undone

ends: COMPENSATED
error: pay at PayService was given up: PERMISSION_DENIED: a status. What was begun has been undone.
stands: nothing
sent: do reserve, do pay, undo pay, undo reserve
