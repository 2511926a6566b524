A person cancels a saga that turns back already: that is journaled, as all that people do, and changes
nothing.

saga:
  reserve
  pay

given:
  pay: status UNIMPLEMENTED
  undo reserve: pending, ask again in 5s

meanwhile:
  undo reserve pending, asked again in 5s -> operator CANCEL

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s pay faulted PERMANENT UNIMPLEMENTED, for good
  +0s undo pay begun, no receipt
  +0s pay undone
  +0s undo reserve begun
  +0s undo reserve pending, asked again in 5s
  +0s operator CANCEL
  +5s reserve undone

ends: COMPENSATED
error: pay at PayService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing
