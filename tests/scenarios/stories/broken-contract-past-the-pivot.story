From the pivot on, whoever breaks the contract is asked again; the saga comes to a good end, and is flagged.

saga:
  pay, pivot
  ship, retriable

given:
  pay: babbles after the effect
  ship: babbles

timeline:
  saga started
  pay begun as the pivot
  pay faulted BROKEN_CONTRACT, again in 100ms
  pay succeeded at attempt 2
  ship begun
  ship faulted BROKEN_CONTRACT, again in 100ms
  ship succeeded at attempt 2

ends: COMPLETED
flags: pay: BROKEN_CONTRACT; ship: BROKEN_CONTRACT
stands: pay, ship
