What follows the pivot keeps to the limit as well; a step that needs a person takes up no place.

saga: maxParallel 1
  pay, pivot
  ship, retriable, after pay
  mail, retriable, after pay
  bill, retriable, after pay

given:
  ship: refused NO_SUCH_ADDRESS, takes 1s
  mail: succeeded, takes 1s

timeline:
  +0s saga started
  +0s pay begun as the pivot
  +0s pay succeeded
  +0s ship begun
  +1s ship refused NO_SUCH_ADDRESS
  +1s mail begun
  +2s mail succeeded
  +2s bill begun
  +2s bill succeeded

ends: DEAD_LETTERED, ship REFUSED
error: ship at ShipService needs a person: it was refused, and past the pivot nothing is undone.
stands: pay, mail, bill
