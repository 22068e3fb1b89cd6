/** The requirements of a client that no case can decide from outside, each with the reason. */

const OTHER_CARRIERS = "The suite has WebSockets, HTTP with Server-Sent Events and standard streams alone.";
const BY_RUNNING_TWICE = "Is shown by running the whole suite over each carrier, not by a case.";
const RUNTIME_SAYS_IT = "Is said by the runtime, which the suite is here: judged by the server suite.";
const NO_STREAMS_OF_CLIENTS = "No step has a client open a stream, or read one more slowly than it comes.";

export const UNSEEN: Readonly<Record<string, string>> = {
  "V11-4-03": OTHER_CARRIERS,
  "V11-4.3-01": BY_RUNNING_TWICE,
  "V11-5.2-04": "The suite speaks JSON alone.",
  "V11-7.7-01": "Which of two ways a dashboard goes is the dashboard's design; the wire shows that both are there.",
  "V11-7.7-02": "It is about command lines, of which a driver is none; that a client resumes is shown.",
  "V11-9.8.1-05": "What an application does with a credential goes to other servers than the runtime.",
  "V11-9.8.3-05": "What a client concludes of a job's bounds is shown to its user, not to the runtime.",
  "V11-12-02": "A client of this wire sends no errors.",
  "V10-6.1.1-06": NO_STREAMS_OF_CLIENTS,
  "V10-6.1.1-10": "A client may leave it out, and no runtime can tell what caused a message.",
  "V10-10.3-03": RUNTIME_SAYS_IT,
  "V10-10.3-06": RUNTIME_SAYS_IT,
  "V10-11-01": NO_STREAMS_OF_CLIENTS,
  "V10-11.1-01": NO_STREAMS_OF_CLIENTS,
  "V10-11.1-04": "What is shown to people of a stream is not on the wire.",
  "V10-11.2-01": NO_STREAMS_OF_CLIENTS,
  "V10-11.2-02": NO_STREAMS_OF_CLIENTS,
  "V10-11.4-03": "It may, and need not; filters as such are shown.",
  "V10-13.1-04": "Whether a connection is an observer's is known to the runtime, which refuses.",
  "V10-14-04": RUNTIME_SAYS_IT,
  "V10-15.3-01": RUNTIME_SAYS_IT,
  "V10-18.3-01":
    "Clients refuse with UNIMPLEMENTED alone, of which both values are told to nobody who would try again.",
  "V10-21.4-01": "No extension has been promoted.",
  "V10-21.4-02": "No extension has been promoted.",
  "V10-22-01": BY_RUNNING_TWICE,
  "V10-22-02": OTHER_CARRIERS,
  "V10-22-04": "That a client asks for it, or not, is its choice; what comes beside messages is shown.",
};
