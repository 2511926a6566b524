A person stops a saga for good: nothing more is asked, nothing is undone, and what was begun stands as it is.

saga:
  reserve
  pay
  ship

given:
  pay: succeeded, takes 3s

meanwhile:
  pay begun -> operator TERMINATE
  at rest -> operator TERMINATE, in vain: saga saga-1 is TERMINATED: nothing can be done to it any more

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s operator TERMINATE

ends: TERMINATED, forced
error: Terminated by ada (she knows). What was begun and is not undone stands as it is.
stands: reserve, pay
sent: do reserve, do pay
