A pivot that is refused at its second attempt turns the saga back, and is undone first: of the first attempt
nobody knows.

saga:
  reserve
  pay, pivot
  ship, retriable

given:
  pay: status UNAVAILABLE
  pay: refused CARD_DECLINED

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun as the pivot
  pay faulted UNKNOWN UNAVAILABLE, again in 100ms
  pay refused CARD_DECLINED at attempt 2
  undo pay begun, no receipt
  pay undone
  undo reserve begun
  reserve undone

ends: COMPENSATED
error: pay at PayService was refused: CARD_DECLINED: the business says no. What was begun has been undone.
stands: nothing
sent: do reserve, do pay, do pay, undo pay, undo reserve
