using System.Collections.Immutable;

namespace MLNet.SDN.Controller.Hosting;

/// <summary>What the controller cannot do now, one sentence per cause, for the dashboard. Safe to call from any thread.</summary>
internal sealed class OperatorWarnings
{
    private readonly Lock _lock = new();
    private volatile IReadOnlyList<string> _current = [];
    private ImmutableSortedDictionary<string, string> _warnings = ImmutableSortedDictionary<string, string>.Empty;

    /// <summary>All warnings; the same list as long as nothing changes.</summary>
    public IReadOnlyList<string> Current => _current;

    /// <summary>Warns of a cause; replaces its former sentence.</summary>
    public void Set(string cause, string sentence) => Update(w => w.SetItem(cause, sentence));

    /// <summary>The cause is gone.</summary>
    public void Clear(string cause) => Update(w => w.Remove(cause));

    private void Update(Func<ImmutableSortedDictionary<string, string>, ImmutableSortedDictionary<string, string>> change)
    {
        lock (_lock)
        {
            var changed = change(_warnings);
            if (!ReferenceEquals(changed, _warnings))
            {
                _warnings = changed;
                _current = [.. changed.Values];
            }
        }
    }
}
