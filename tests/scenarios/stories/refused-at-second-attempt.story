The refusal of a second attempt says nothing of the first, which had its effect unheard: so the step is
undone too.

saga:
  reserve
  pay

given:
  pay: status UNAVAILABLE
  pay: refused CARD_DECLINED

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s pay faulted UNKNOWN UNAVAILABLE, again in 100ms
  +100ms pay refused CARD_DECLINED at attempt 2
  +100ms undo pay begun, no receipt
  +100ms pay undone
  +100ms undo reserve begun
  +100ms reserve undone

ends: COMPENSATED
error: pay at PayService was refused: CARD_DECLINED: the business says no. What was begun has been undone.
stands: nothing
sent: do reserve, do pay, do pay, undo pay, undo reserve
