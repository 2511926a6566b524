No answer within the step's timeout proves nothing: the same is asked under the same key, and the effect
comes once.

saga:
  reserve
  pay, timeout 3s

given:
  pay: silent after the effect
  pay: silent

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +3s pay faulted UNKNOWN DEADLINE_EXCEEDED, again in 100ms
  +6.1s pay faulted UNKNOWN DEADLINE_EXCEEDED at attempt 2, again in 200ms
  +6.3s pay succeeded at attempt 3

ends: COMPLETED
stands: reserve, pay
sent: do reserve, do pay, do pay, do pay
