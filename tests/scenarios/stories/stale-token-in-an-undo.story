An undo that meets a newer coordinator sets the saga aside as well; a person ends it there.

saga:
  reserve
  pay

given:
  pay: status UNIMPLEMENTED
  undo reserve: stale token

meanwhile:
  at rest -> operator TERMINATE

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  pay faulted PERMANENT UNIMPLEMENTED, for good
  undo pay begun, no receipt
  pay undone
  undo reserve begun
  operator TERMINATE

ends: TERMINATED, forced
error: pay at PayService was given up: UNIMPLEMENTED: a status. Terminated by ada (she knows). What was begun and is not undone stands as it is.
stands: reserve
