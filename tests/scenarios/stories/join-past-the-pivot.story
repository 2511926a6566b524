Retriable steps are done side by side behind the pivot, and what depends on all of them waits for the last.

saga:
  pay, pivot
  ship, retriable
  mail, retriable, after pay
  close, retriable, after ship and mail

given:
  ship: succeeded, takes 2s
  mail: faulted BUSY, takes 1s

timeline:
  +0s saga started
  +0s pay begun as the pivot
  +0s pay succeeded
  +0s ship begun
  +0s mail begun
  +1s mail faulted BUSY, again in 100ms
  +1.1s mail succeeded at attempt 2
  +2s ship succeeded
  +2s close begun
  +2s close succeeded

ends: COMPLETED
stands: pay, ship, mail, close
