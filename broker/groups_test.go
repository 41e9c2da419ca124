package broker

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// joiner is a member of a group as kafka-go speaks, on one connection, every request by hand.
type joiner struct {
	t          *testing.T
	conn       net.Conn
	id         string
	generation int32
	leader     bool
	others     []string
}

func newJoiner(t *testing.T, embedded *Embedded) *joiner {
	t.Helper()
	conn, err := net.Dial("tcp", embedded.Addrs()[0])
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return &joiner{t: t, conn: conn}
}

func (j *joiner) send(request kmsg.Request, version int16) {
	j.t.Helper()
	request.SetVersion(version)
	_, err := j.conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, request, 1))
	require.NoError(j.t, err)
}

// answered reads the answer to what was sent last; false: none came in time.
func (j *joiner) answered(response kmsg.Response, version int16, within time.Duration) bool {
	j.t.Helper()
	require.NoError(j.t, j.conn.SetReadDeadline(time.Now().Add(within)))
	size := make([]byte, 4)
	if _, err := io.ReadFull(j.conn, size); err != nil {
		return false
	}
	body := make([]byte, binary.BigEndian.Uint32(size))
	_, err := io.ReadFull(j.conn, body)
	require.NoError(j.t, err)
	response.SetVersion(version)
	require.NoError(j.t, response.ReadFrom(body[4:]))
	return true
}

// The versions that kafka-go uses.
const (
	joinVersion, syncVersion, beatVersion = 1, 0, 0
	session, rebalance                    = 6 * time.Second, 10 * time.Second
)

// ask sends a join; joined waits for its answer.
func (j *joiner) ask() {
	j.t.Helper()
	request := kmsg.NewPtrJoinGroupRequest()
	request.Group, request.MemberID, request.ProtocolType = "ensue", j.id, "consumer"
	request.SessionTimeoutMillis, request.RebalanceTimeoutMillis = int32(session.Milliseconds()), int32(rebalance.Milliseconds())
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name = "range"
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Topics = []string{"video.segments"}
	protocol.Metadata = meta.AppendTo(nil)
	request.Protocols = append(request.Protocols, protocol)
	j.send(request, joinVersion)
}

func (j *joiner) joined(within time.Duration) bool {
	j.t.Helper()
	response := kmsg.NewPtrJoinGroupResponse()
	if !j.answered(response, joinVersion, within) {
		return false
	}
	require.NoError(j.t, kerr.ErrorForCode(response.ErrorCode))
	j.id, j.generation, j.leader = response.MemberID, response.Generation, response.LeaderID == response.MemberID
	j.others = nil
	for _, member := range response.Members {
		j.others = append(j.others, member.MemberID)
	}
	return true
}

// sync asks for what it is to read; a leader tells everybody. What is told is no matter here.
func (j *joiner) sync() error {
	j.t.Helper()
	request := kmsg.NewPtrSyncGroupRequest()
	request.Group, request.MemberID, request.Generation = "ensue", j.id, j.generation
	for _, member := range j.others {
		assigned := kmsg.NewSyncGroupRequestGroupAssignment()
		assigned.MemberID = member
		request.GroupAssignment = append(request.GroupAssignment, assigned)
	}
	j.send(request, syncVersion)
	response := kmsg.NewPtrSyncGroupResponse()
	require.True(j.t, j.answered(response, syncVersion, session+rebalance), "no answer to a sync")
	return kerr.ErrorForCode(response.ErrorCode)
}

// beat is a heartbeat.
func (j *joiner) beat() error {
	j.t.Helper()
	request := kmsg.NewPtrHeartbeatRequest()
	request.Group, request.MemberID, request.Generation = "ensue", j.id, j.generation
	j.send(request, beatVersion)
	response := kmsg.NewPtrHeartbeatResponse()
	require.True(j.t, j.answered(response, beatVersion, time.Second), "no answer to a heartbeat")
	return kerr.ErrorForCode(response.ErrorCode)
}

// beatUntil goes on until the answer is that error; false: it never was.
func (j *joiner) beatUntil(want error, within time.Duration) bool {
	j.t.Helper()
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if err := j.beat(); err != nil {
			require.ErrorIs(j.t, err, want)
			return true
		}
	}
	return false
}

// alone is a group with one member, its leader.
func alone(t *testing.T, embedded *Embedded) *joiner {
	t.Helper()
	first := newJoiner(t, embedded)
	first.ask()
	require.True(t, first.joined(rebalance))
	require.True(t, first.leader)
	require.NoError(t, first.sync())
	return first
}

// A process that is killed while it waits to join has no session that could end: its partitions must not be its own for ever.
func TestAMemberThatDiesWhileItJoinsIsPutOutOfTheGroup(t *testing.T) {
	embedded := start(t, Options{Topics: []Topic{{Name: "video.segments", Partitions: 2}}})
	first := alone(t, embedded)

	const several = 6
	for range several {
		dead := newJoiner(t, embedded)
		dead.ask()
		require.True(t, first.beatUntil(kerr.RebalanceInProgress, session))
		require.NoError(t, dead.conn.Close())
	}
	first.ask()
	require.True(t, first.joined(rebalance+session))
	for deadline := time.Now().Add(2 * session); len(first.others) > 1; {
		require.True(t, time.Now().Before(deadline), "%d dead members have partitions still", len(first.others)-1)
		require.NoError(t, first.sync())
		require.True(t, first.beatUntil(kerr.RebalanceInProgress, 2*session), "%d dead members have partitions still", len(first.others)-1)
		first.ask()
		require.True(t, first.joined(rebalance+session))
	}
	require.Equal(t, []string{first.id}, first.others)
}

// Who waits for the others cannot send heartbeats: its session does not end meanwhile.
func TestAMemberThatWaitsForTheOthersStaysInTheGroup(t *testing.T) {
	embedded := start(t, Options{Topics: []Topic{{Name: "video.segments", Partitions: 2}}})
	first, second := pair(t, embedded)

	third := newJoiner(t, embedded)
	third.ask()
	require.True(t, second.beatUntil(kerr.RebalanceInProgress, session))
	second.ask()
	// The first finishes what it has begun, for longer than a session and shorter than a rebalance may take.
	for end := time.Now().Add(session + 2*time.Second); time.Now().Before(end); time.Sleep(time.Second) {
		require.ErrorIs(t, first.beat(), kerr.RebalanceInProgress)
	}
	first.ask()
	for _, each := range []*joiner{first, second, third} {
		require.True(t, each.joined(session), "the group forgot one that waits")
	}
}

// pair is a group with two members; the first leads it.
func pair(t *testing.T, embedded *Embedded) (first, second *joiner) {
	t.Helper()
	first, second = alone(t, embedded), newJoiner(t, embedded)
	second.ask()
	require.True(t, first.beatUntil(kerr.RebalanceInProgress, session))
	first.ask()
	require.True(t, first.joined(session))
	require.True(t, second.joined(session))
	require.NoError(t, first.sync())
	require.NoError(t, second.sync())
	return first, second
}
