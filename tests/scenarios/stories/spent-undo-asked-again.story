An undo whose budget was spent is asked for again by a person, with a new budget.

saga:
  reserve, undo budget 500ms
  pay

given:
  pay: status UNIMPLEMENTED
  undo reserve: faulted BUSY, 3 times

meanwhile:
  at rest -> operator RETRY reserve

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s pay faulted PERMANENT UNIMPLEMENTED, for good
  +0s undo pay begun, no receipt
  +0s pay undone
  +0s undo reserve begun
  +0s undo reserve faulted BUSY, again in 500ms
  +500ms undo reserve faulted BUSY at attempt 2, for good
  +500ms operator RETRY reserve
  +500ms undo reserve faulted BUSY at attempt 3, again in 500ms
  +1s reserve undone at attempt 4

ends: COMPENSATED
error: pay at PayService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing
