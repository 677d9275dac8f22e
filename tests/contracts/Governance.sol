// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.28;

import {Governor} from "@openzeppelin/contracts/governance/Governor.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {GovernorCountingSimple} from "@openzeppelin/contracts/governance/extensions/GovernorCountingSimple.sol";
import {GovernorTimelockControl} from "@openzeppelin/contracts/governance/extensions/GovernorTimelockControl.sol";
import {DstackAppOneStep} from "./DstackAppOneStep.sol";

/// A governor of OpenZeppelin's in which one voter has one vote: times are blocks.
abstract contract OneVoter is Governor, GovernorCountingSimple {
    address private immutable voter;

    constructor(address voter_) Governor("One voter") {
        voter = voter_;
    }

    function clock() public view override returns (uint48) {
        return uint48(block.number);
    }

    function CLOCK_MODE() public pure override returns (string memory) {
        return "mode=blocknumber&from=default";
    }

    function votingDelay() public pure override returns (uint256) {
        return 1;
    }

    function votingPeriod() public pure override returns (uint256) {
        return 5;
    }

    function quorum(uint256) public pure override returns (uint256) {
        return 1;
    }

    function _getVotes(address account, uint256, bytes memory) internal view override returns (uint256) {
        return account == voter ? 1 : 0;
    }
}

/// It makes its calls itself.
contract PlainGovernor is OneVoter {
    constructor(address voter) OneVoter(voter) {}
}

/// Its calls come from its timelock.
contract TimelockGovernor is OneVoter, GovernorTimelockControl {
    constructor(address voter, TimelockController timelock) OneVoter(voter) GovernorTimelockControl(timelock) {}

    function state(uint256 id) public view override(Governor, GovernorTimelockControl) returns (ProposalState) {
        return super.state(id);
    }

    function proposalNeedsQueuing(uint256 id)
        public
        view
        override(Governor, GovernorTimelockControl)
        returns (bool)
    {
        return super.proposalNeedsQueuing(id);
    }

    function _queueOperations(
        uint256 id, address[] memory targets, uint256[] memory values, bytes[] memory calldatas, bytes32 description
    ) internal override(Governor, GovernorTimelockControl) returns (uint48) {
        return super._queueOperations(id, targets, values, calldatas, description);
    }

    function _executeOperations(
        uint256 id, address[] memory targets, uint256[] memory values, bytes[] memory calldatas, bytes32 description
    ) internal override(Governor, GovernorTimelockControl) {
        super._executeOperations(id, targets, values, calldatas, description);
    }

    function _cancel(
        address[] memory targets, uint256[] memory values, bytes[] memory calldatas, bytes32 description
    ) internal override(Governor, GovernorTimelockControl) returns (uint256) {
        return super._cancel(targets, values, calldatas, description);
    }

    function _executor() internal view override(Governor, GovernorTimelockControl) returns (address) {
        return super._executor();
    }
}

/// Answers a governor's questions by their names, and what can be computed wrongly; the rest with more than anybody reads.
contract GovernorInName {
    string public constant COUNTING_MODE = "support=bravo&quorum=for,abstain";
    uint256 public constant votingDelay = 1;
    uint256 public constant votingPeriod = 5;

    function supportsInterface(bytes4 id) external pure returns (bool) {
        return id != 0xffffffff;
    }

    function hashProposal(address[] calldata, uint256[] calldata, bytes[] calldata, bytes32 description)
        external
        pure
        returns (uint256)
    {
        return uint256(description);
    }

    fallback() external {
        assembly {
            return(0, 200000)
        }
    }
}

/// What Zodiac's Delay answers and does: its modules queue, and anybody has the first of the queue executed.
contract ZodiacDelay {
    address public immutable avatar;
    address public immutable target;
    uint256 public immutable txCooldown;
    uint256 public immutable txExpiration;
    uint256 public txNonce;
    uint256 public queueNonce;
    mapping(uint256 => bytes32) public txHash;
    mapping(uint256 => uint256) public txCreatedAt;

    constructor(address safe, uint256 cooldown, uint256 expiration) {
        (avatar, target, txCooldown, txExpiration) = (safe, safe, cooldown, expiration);
    }

    function execTransactionFromModule(address to, uint256 value, bytes calldata data, uint8 operation)
        external
        returns (bool)
    {
        txHash[queueNonce] = getTransactionHash(to, value, data, operation);
        txCreatedAt[queueNonce++] = block.timestamp;
        return true;
    }

    function getTransactionHash(address to, uint256 value, bytes memory data, uint8 operation)
        public
        pure
        returns (bytes32)
    {
        return keccak256(abi.encodePacked(to, value, data, operation));
    }
}

interface ISafe {
    function nonce() external view returns (uint256);
    function getTransactionHash(
        address to, uint256 value, bytes memory data, uint8 operation, uint256 safeTxGas, uint256 baseGas,
        uint256 gasPrice, address gasToken, address refundReceiver, uint256 nonce
    ) external view returns (bytes32);
    function checkSignatures(bytes32 hash, bytes memory data, bytes memory signatures) external view;
}

/// A guard that lets through what was scheduled with it long enough ago, with the owners' signatures.
contract TimelockGuard {
    struct Params {
        address to;
        uint256 value;
        bytes data;
        uint8 operation;
        uint256 safeTxGas;
        uint256 baseGas;
        uint256 gasPrice;
        address gasToken;
        address refundReceiver;
    }

    error NotScheduled();
    error NotReady();

    string public constant version = "1.0.0";
    mapping(address => uint256) private delays;
    mapping(address => mapping(bytes32 => uint256)) private readyAt;

    function supportsInterface(bytes4) external pure returns (bool) {
        return true;
    }

    function configureTimelockGuard(uint256 delay, uint256) external {
        delays[msg.sender] = delay;
    }

    function timelockConfigurationForSafe(address safe) external view returns (uint256, uint256, bool) {
        return (delays[safe], 0, false);
    }

    function cancellationThresholdForSafe(address) external pure returns (uint256) {
        return 1;
    }

    function scheduleTransaction(ISafe safe, uint256 nonce, Params memory params, bytes memory signatures) external {
        bytes32 hash = _hash(safe, params, nonce);
        safe.checkSignatures(hash, "", signatures);
        readyAt[address(safe)][hash] = block.timestamp + delays[address(safe)];
    }

    function checkTransaction(
        address to, uint256 value, bytes memory data, uint8 operation, uint256 safeTxGas, uint256 baseGas,
        uint256 gasPrice, address gasToken, address payable refundReceiver, bytes memory, address
    ) external view {
        if (delays[msg.sender] == 0) return;
        Params memory params =
            Params(to, value, data, operation, safeTxGas, baseGas, gasPrice, gasToken, refundReceiver);
        uint256 ready = readyAt[msg.sender][_hash(ISafe(msg.sender), params, ISafe(msg.sender).nonce() - 1)];
        if (ready == 0) revert NotScheduled();
        if (ready > block.timestamp) revert NotReady();
    }

    function checkAfterExecution(bytes32, bool) external pure {}

    function _hash(ISafe safe, Params memory one, uint256 nonce) private view returns (bytes32) {
        return safe.getTransactionHash(
            one.to, one.value, one.data, one.operation, one.safeTxGas, one.baseGas, one.gasPrice, one.gasToken,
            one.refundReceiver, nonce
        );
    }
}

/// The policy of several apps.
contract ClusterOfApps {
    address public immutable clusterOwner;
    bool public constant allowAnyDevice = true;
    mapping(bytes32 => bool) public allowedComposeHashes;

    event ComposeHashAdded(bytes32 indexed composeHash);

    constructor(address owner, bytes32 first) {
        clusterOwner = owner;
        allowedComposeHashes[first] = true;
    }

    function addComposeHash(bytes32 composeHash) external {
        require(msg.sender == clusterOwner, "not the cluster's owner");
        allowedComposeHashes[composeHash] = true;
        emit ComposeHashAdded(composeHash);
    }
}

/// An app of a cluster: what it is asked it asks the cluster, and nobody owns it.
contract ClusterMember {
    address public owner;
    ClusterOfApps public immutable cluster;

    constructor(ClusterOfApps cluster_) {
        cluster = cluster_;
    }

    function allowedComposeHashes(bytes32 hash) external view returns (bool) {
        return cluster.allowedComposeHashes(hash);
    }

    function allowAnyDevice() external view returns (bool) {
        return cluster.allowAnyDevice();
    }

    function allowedDeviceIds(bytes32) external pure returns (bool) {
        return true;
    }

    function addComposeHash(bytes32 hash) external {
        cluster.addComposeHash(hash);
    }
}

/// As a member of a cluster that has no list of devices to ask: it does not answer all that an app does.
contract LesserMember {
    ClusterOfApps public immutable cluster;

    constructor(ClusterOfApps cluster_) {
        cluster = cluster_;
    }

    function allowedComposeHashes(bytes32 hash) external view returns (bool) {
        return cluster.allowedComposeHashes(hash);
    }

    function allowAnyDevice() external view returns (bool) {
        return cluster.allowAnyDevice();
    }
}

/// An app that allows a hash some time after its owner proposed it.
contract NoticeApp {
    address public owner;
    uint256 public immutable noticePeriod;
    bool public constant allowAnyDevice = true;
    mapping(bytes32 => bool) public allowedComposeHashes;
    mapping(bytes32 => bool) public allowedDeviceIds;
    mapping(bytes32 => uint256) public proposedAt;

    constructor(address owner_, uint256 notice, bytes32 first) {
        (owner, noticePeriod) = (owner_, notice);
        allowedComposeHashes[first] = true;
    }

    function proposeComposeHash(bytes32 hash) external {
        require(msg.sender == owner, "not the owner");
        proposedAt[hash] = block.timestamp;
    }

    function activateComposeHash(bytes32 hash) external {
        require(proposedAt[hash] != 0 && block.timestamp >= proposedAt[hash] + noticePeriod, "too early");
        allowedComposeHashes[hash] = true;
    }
}

/// A DstackApp that says it passes its policy on to whomever it likes, and that it gives notice, and does neither.
contract LyingApp is DstackAppOneStep {
    address public cluster;
    uint256 public constant noticePeriod = 86400;

    function follow(address other) external {
        cluster = other;
    }

    function proposedAt(bytes32) external pure returns (uint256) {
        return 0;
    }

    function proposeComposeHash(bytes32) external {}

    function activateComposeHash(bytes32) external pure {
        revert();
    }
}
