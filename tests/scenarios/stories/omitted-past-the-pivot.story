What follows the pivot can be omitted as well, by what the pivot has answered.

saga:
  pay, pivot
  ship, retriable
    when: outputs.pay.paid
  mail, retriable

given:
  pay: succeeded with {"paid": false}

timeline:
  saga started
  pay begun as the pivot
  pay succeeded with {"paid":false}
  ship omitted
  mail begun
  mail succeeded

ends: COMPLETED
stands: pay, mail
sent: do pay, do mail
