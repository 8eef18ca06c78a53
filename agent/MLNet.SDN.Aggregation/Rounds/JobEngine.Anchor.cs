using MLNet.SDN.Aggregation.Wire;

namespace MLNet.SDN.Aggregation.Rounds;

// The anchor's side of the signalling: its ledger decides, this carries it out.
internal sealed partial class JobEngine
{
    private readonly HashSet<(string Host, SignalMessage Question)> _openings = [];

    private TimeSpan Elapsed => _time.GetElapsedTime(_createdAt);

    private void Welcome(string host)
    {
        _ledger!.Connected(host);
        _ports.Signal(host, _ledger.Roster());
        foreach (var failure in _ledger.Failures().ToList())
        {
            _ports.Signal(host, failure);
        }
    }

    private bool AtAnchor(string host, SignalMessage message)
    {
        var before = _ledger!.RosterVersion;
        switch (message.Type)
        {
            case SignalMessage.Types.State:
                Broadcast(_ledger.Report(host, message, Elapsed));
                if (host != _host && _up.Contains(host))
                {
                    // Those it may have missed while it was away.
                    foreach (var epoch in _ledger.LaterEpochs().ToList())
                    {
                        _ports.Signal(host, epoch);
                    }
                }

                AnswerOpenings();
                break;
            case SignalMessage.Types.Open or SignalMessage.Types.Epoch:
                if (_openings.Count < MaxStreams * 4)
                {
                    _openings.Add((host, message));
                }

                AnswerOpenings();
                break;
            case SignalMessage.Types.Stuck:
                if (_ledger.Stuck(message.Stream!.Value, message.Round!.Value, message.Epoch!.Value, message.Text!, Elapsed) is { } known)
                {
                    Answer(host, known);
                }

                Broadcast(_ledger.Advance(Elapsed));
                break;
            case SignalMessage.Types.Fail when message.Code == FailureCode.ShapeMismatch:
                BeginInquiry(message);
                break;
            case SignalMessage.Types.Shapes:
                OnShapes(host, message);
                break;
            case SignalMessage.Types.Fail:
                if (_ledger.Fail(message.Stream!.Value, message.Round!.Value, message.Code!, message.Text!) is { } failed)
                {
                    Broadcast(failed);
                }

                break;
            default:
                return false;
        }

        BroadcastRosterSince(before);
        return true;
    }

    private void TickAnchor()
    {
        var before = _ledger!.RosterVersion;
        Broadcast(_ledger.Tick(Elapsed));
        BroadcastRosterSince(before);
        AnswerOpenings();
    }

    private void Answer(string host, SignalMessage message)
    {
        if (host == _host)
        {
            AtMember(message);
        }
        else if (_up.Contains(host))
        {
            _ports.Signal(host, message);
        }
    }

    private void Broadcast(IReadOnlyList<SignalMessage> messages)
    {
        foreach (var message in messages)
        {
            Broadcast(message);
        }
    }

    private void Broadcast(SignalMessage message)
    {
        foreach (var host in _up)
        {
            _ports.Signal(host, message);
        }

        AtMember(message);
    }

    private void BroadcastRosterSince(int version)
    {
        if (_ledger!.RosterVersion != version)
        {
            Broadcast(_ledger.Roster());
        }
    }

    private void AnswerOpenings()
    {
        foreach (var opening in _openings.ToList())
        {
            var (stream, question) = (opening.Question.Stream!.Value, opening.Question);
            if ((question.Type == SignalMessage.Types.Open ? _ledger!.Open(stream, question.Rank!.Value) : _ledger!.EpochOf(stream, question.Round!.Value)) is { } answer)
            {
                _openings.Remove(opening);
                Answer(opening.Host, answer);
            }
        }
    }
}
