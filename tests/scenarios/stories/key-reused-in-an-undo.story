An undo whose key the participant knows with other content is asked for again, and flagged.

saga:
  reserve
  pay

given:
  pay: status UNIMPLEMENTED
  undo reserve: key reused

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  pay faulted PERMANENT UNIMPLEMENTED, for good
  undo pay begun, no receipt
  pay undone
  undo reserve begun
  undo reserve faulted KEY_REUSED, again in 500ms
  reserve undone at attempt 2

ends: COMPENSATED
error: pay at PayService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
flags: reserve: KEY_REUSED
stands: nothing
