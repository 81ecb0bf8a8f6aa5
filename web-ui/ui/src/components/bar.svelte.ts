/** Which of the candidate's windows is open: the bar opens them, and so does the list of commands. */

export const bar = $state({ diff: false, commit: false, discard: false, findings: false })
