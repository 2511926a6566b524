A person gives up an undo that is under way; its answer has no say any more, though its effect comes.

saga:
  reserve
  pay

given:
  pay: status UNIMPLEMENTED after the effect
  undo pay: succeeded, takes 5s

meanwhile:
  undo pay begun, no receipt -> operator FAIL pay

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s pay faulted PERMANENT UNIMPLEMENTED, for good
  +0s undo pay begun, no receipt
  +0s operator FAIL pay

ends: DEAD_LETTERED, pay BUDGET_SPENT
error: pay at PayService was given up: UNIMPLEMENTED: a status. Its undo needs a person: undo_pay at PayService failed for good; behind it wait: reserve.
stands: reserve
