Cancelling a saga that turns back already is what is happening anyhow: nothing is journaled of it.

saga:
  reserve
  pay

given:
  pay: status UNIMPLEMENTED
  undo reserve: succeeded, takes 3s

meanwhile:
  undo reserve begun -> cancel: never mind

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s pay faulted PERMANENT UNIMPLEMENTED, for good
  +0s undo pay begun, no receipt
  +0s pay undone
  +0s undo reserve begun
  +3s reserve undone

ends: COMPENSATED
error: pay at PayService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing
